/*
 * The C11 memory model as Promela steps: what stack_orders.pml, counted_once.pml and publish.pml
 * share.
 *
 * Owns the memory: for each location all values it ever had, in modification order, and for each
 * thread its view: how much of that order it must have seen. Included once, after LOCATIONS,
 * MESSAGES and THREADS.
 *
 *   a load        returns the value of the thread's view or any later one, which becomes its view
 *   a store       appends a value; its thread sees it
 *   release       the value carries the thread's view with it; only values of SYNC do
 *   acquire       the reader's view becomes at least what the value carried
 *   read-modify-write  reads the last value, appends the next, which goes on carrying what the last
 *                 one carried (a release sequence), whatever its own order
 *   plain access  is a race, unless the thread's view has the last value
 *
 * This is the operational form of C11's release and acquire (Kang et al., POPL 2017, without
 * promises), so it has stale reads and threads that disagree about the order of two stores, as
 * POWER and aarch64 have. What it has not is a store that another thread sees before a load, or a
 * failed exchange, that stands before it in its own thread; where an order forbids only this, a
 * model says so and makes that step early itself.
 */
#define SYNC 0 /* the one location whose values carry views */
#define VALUE(location, message) value[(location) * MESSAGES + (message)]
#define VIEW(thread, location) view[(thread) * LOCATIONS + (location)]
#define CARRIED(message, location) carried[(message) * LOCATIONS + (location)]
#define LATER(a, b) ((a) > (b) -> (a) : (b))
#define SEES_LAST(thread, location) (VIEW(thread, location) == latest[location])

byte value[LOCATIONS * MESSAGES];
byte latest[LOCATIONS];
byte view[THREADS * LOCATIONS];
byte carried[MESSAGES * LOCATIONS];
bool race_free = true; /* a plain access sees the last value; a store goes behind all others */
bool memory_has_room = true;
byte place; /* not hidden: spin would forget these two where an atomic step branches */
byte read_message;

/* A thread learns what a message carries; or a message begins to carry what its thread knows. */
inline view_learn(me, message)
{
    for (place : 0 .. LOCATIONS - 1) {
        VIEW(me, place) = LATER(CARRIED(message, place), VIEW(me, place))
    }
    place = 0
}

inline message_learn(message, me)
{
    for (place : 0 .. LOCATIONS - 1) {
        CARRIED(message, place) = LATER(CARRIED(message, place), VIEW(me, place))
    }
    place = 0
}

inline append(me, location, new_value)
{
    memory_has_room = latest[location] + 1 < MESSAGES;
    assert(memory_has_room);
    VALUE(location, latest[location] + 1) = new_value; /* which may be made of the last value */
    latest[location]++;
    VIEW(me, location) = latest[location]
}

inline load(me, location, out)
{
    atomic {
        read_message = VIEW(me, location);
        do
        :: read_message < latest[location] -> read_message++
        :: break
        od;
        VIEW(me, location) = read_message;
        out = VALUE(location, read_message);
        read_message = 0
    }
}

/* Of SYNC; `acquires` is 0 when the order was weakened. */
inline load_sync(me, out, acquires)
{
    atomic {
        read_message = VIEW(me, SYNC);
        do
        :: read_message < latest[SYNC] -> read_message++
        :: break
        od;
        VIEW(me, SYNC) = read_message;
        out = VALUE(SYNC, read_message);
        if
        :: acquires -> view_learn(me, read_message)
        :: else
        fi;
        read_message = 0
    }
}

/* Threads take turns at writing to a location, in an order that the rest of the code makes. */
inline store(me, location, new_value)
{
    d_step {
        race_free = SEES_LAST(me, location);
        assert(race_free);
        append(me, location, new_value)
    }
}

inline store_sync(me, new_value, releases)
{
    d_step {
        append(me, SYNC, new_value);
        CARRIED(latest[SYNC], SYNC) = latest[SYNC];
        if
        :: releases -> message_learn(latest[SYNC], me)
        :: else
        fi
    }
}

/* The part of a read-modify-write after its success is sure; inside a d_step. */
inline update_sync(me, new_value, acquires, releases)
{
    if
    :: acquires -> view_learn(me, latest[SYNC])
    :: else
    fi;
    append(me, SYNC, new_value);
    for (place : 0 .. LOCATIONS - 1) {
        CARRIED(latest[SYNC], place) = CARRIED(latest[SYNC] - 1, place)
    }
    place = 0;
    CARRIED(latest[SYNC], SYNC) = latest[SYNC];
    if
    :: releases -> message_learn(latest[SYNC], me)
    :: else
    fi
}

/* A plain read or write. A write makes a value, so that others can fail to have seen it. */
inline plain_read(me, location)
{
    d_step {
        race_free = SEES_LAST(me, location);
        assert(race_free)
    }
}

inline plain_write(me, location)
{
    d_step {
        race_free = SEES_LAST(me, location);
        assert(race_free);
        append(me, location, 0)
    }
}
