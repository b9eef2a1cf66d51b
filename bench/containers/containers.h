/* containers: the workloads of containers.cpp, for the harness, which is C. */
#ifndef MEMORYBUCKET_BENCH_CONTAINERS_H
#define MEMORYBUCKET_BENCH_CONTAINERS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct containers_work {
    uint64_t operations;
    uint64_t seed;
    uint64_t made;   /* sum of what was put into the containers */
    uint64_t unmade; /* sum of what was taken out, or was in them at the end */
};

typedef void containers_workload(struct containers_work *work);

/* The workload of that name; NULL: there is none. */
containers_workload *containers_find(const char *name);

/* The names of all, with blanks between them. */
const char *containers_names(void);

#ifdef __cplusplus
}
#endif

#endif
