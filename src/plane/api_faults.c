/* Injected faults: the list of them, and their end. api_inject.c asks for them. */
#include "plane/api.h"

#include <string.h>

static bool copy_fault(void *context, const struct fault_row *row)
{
    *(struct fault_row *)context = *row;
    return true;
}

void api_list_faults(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    const char *active = request_query(request, "active");
    if (active && strcmp(active, "true") != 0 && strcmp(active, "false") != 0) {
        server_problem(request, 400, NULL, "active: true or false");
        return;
    }
    const struct book *book = api_book(plane, request);
    if (!book)
        return;
    json_t *answer = shape_faults(plane->reader, book, active && strcmp(active, "true") == 0);
    if (answer)
        api_answer(request, 200, answer);
    else
        api_unreadable(plane, request);
}

/* --- clearing ------------------------------------------------------------------------------------------ */

static void clearing_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    char body[64];
    int length = snprintf(body, sizeof(body), "{\"cleared\":%u}", waiter->accepted);
    if (end == WAIT_DONE)
        server_answer(waiter->request, 200, NULL, body, (size_t)length);
    else
        api_not_kept(plane, waiter->request);
}

static void clear(struct plane *plane, struct request *request, uint64_t id)
{
    uint32_t cleared = 0;
    for (uint32_t i = 0; i < plane->faults.count; i++) {
        struct fault_row *row = &plane->faults.row[i];
        if ((!id || row->id == id) && strike_clear(plane, row))
            cleared++;
    }
    faults_sweep(&plane->faults, plane->now);
    plane_rows_put(plane, true);
    wait_add(plane, &(struct waiter){.request = request,
                                     .end = clearing_is_kept,
                                     .ticket = plane->commits.batch,
                                     .by = plane->now + PROMISE_WAIT_MS * MILLISECOND,
                                     .accepted = cleared});
}

void api_clear_faults(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    clear(plane, request, 0);
}

void api_clear_fault(struct plane *plane, struct request *request, const char *name)
{
    struct fault_row row;
    uint64_t id = api_id(request, name, "fault");
    if (!id)
        return;
    if (!faults_find(&plane->faults, id) &&
        store_faults(plane->reader, id, false, 1, copy_fault, &row) != 1) {
        server_problem(request, 404, NULL, "there is no fault %llu", (unsigned long long)id);
        return;
    }
    clear(plane, request, id);
}
