/*
 * metrics: GET /metrics on a port of its own, in Prometheus' text form, for --metrics-port. Served
 * by the first worker's loop.
 */
#pragma once

struct event_base;

/* Says on stderr where it listens; nothing without the option. Ends the process when it cannot. */
void metrics_start(struct event_base *base);

/* When the loop has ended, and before it is freed. */
void metrics_stop(void);
