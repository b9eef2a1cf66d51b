/* libuv on MemoryBucket. */
#include <memorybucket/memorybucket.h>
#include <stdio.h>
#include <uv.h>

static int use_memorybucket(void)
{
    return uv_replace_allocator(mb_alloc, mb_realloc, mb_calloc, mb_free);
}

static void count_fire(uv_timer_t *timer)
{
    ++*(int *)timer->data;
    uv_close((uv_handle_t *)timer, NULL);
}

static void work(uv_work_t *request)
{
    *(int *)request->data = 1;
}

int main(void)
{
    if (use_memorybucket() != 0) {
        fputs("libuv refuses the functions\n", stderr);
        return 1;
    }
    uv_loop_t loop;
    uv_loop_init(&loop);
    int fired = 0, worked = 0;
    uv_timer_t timers[100];
    for (int i = 0; i < 100; i++) {
        uv_timer_init(&loop, &timers[i]);
        timers[i].data = &fired;
        uv_timer_start(&timers[i], count_fire, (uint64_t)(i / 50), 0);
    }
    uv_work_t request = { .data = &worked };
    uv_queue_work(&loop, &request, work, NULL);
    uv_fs_t file;
    uv_fs_stat(&loop, &file, "/etc/passwd", NULL);
    uv_fs_req_cleanup(&file);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    uv_library_shutdown();
    return fired == 100 && worked == 1 ? 0 : 1;
}
