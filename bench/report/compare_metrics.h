/* compare_metrics: what bench/compare.sh measures, numbered; of each less is better. */
#ifndef MEMORYBUCKET_BENCH_COMPARE_METRICS_H
#define MEMORYBUCKET_BENCH_COMPARE_METRICS_H

enum metric {
    WALL_TIME,
    CPU_TIME,
    PEAK_MEMORY,
    FINAL_MEMORY,
    LATENCY_P50,
    LATENCY_P90,
    LATENCY_P99,
    LATENCY_P99_9,
    LATENCY_P99_99,
    LATENCY_MAX,
    METRICS
};

#endif
