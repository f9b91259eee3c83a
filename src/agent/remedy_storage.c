#include "agent/remedy.h"

#include "agent/folder_copy.h"
#include "agent/folder_use.h"
#include "agent/supervisor.h"
#include "agent/sweep.h"
#include "base/crash.h"
#include "inject/page.h"
#include "wire/client.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const duration failover_limit_ns =
    10 * SECOND; /* a write may be waiting for the slow folder until then */

/* --- failover_storage ----------------------------------------------------------------------------------- */

/* The next start begins in the other folder. 0, or a negative errno and it does not. */
static int switch_folders(struct remedies *remedies)
{
    bool standby = !supervisor_on_standby(remedies->options.supervisor);
    int error = supervisor_set_standby(remedies->options.supervisor, standby);
    if (error == 0)
        remedy_tell(remedies, standby ? "storage primary -> standby" : "storage standby -> primary");
    else
        text_addf(&remedies->detail, "which folder is in use cannot be written down: %s", strerror(-error));
    return error;
}

/* Reads and writes in the other folder are not those that were struck. */
static void renew_storage(struct remedies *remedies)
{
    page_renew(remedies->options.page, FAULT_STORAGE_LATENCY);
    page_renew(remedies->options.page, FAULT_IO_ERROR);
}

/* Without an answer nobody knows whether it switched; with another one than 200 it did not. */
static void on_failover(void *context, const struct answer *answer)
{
    struct remedies *remedies = context;
    bool is_fine = remedy_is_fine(remedies, answer);
    if (is_fine) {
        switch_folders(remedies);
    } else if (answer->status != 0) {
        page_keep(remedies->options.page, FAULT_STORAGE_LATENCY);
        page_keep(remedies->options.page, FAULT_IO_ERROR);
    }
    remedy_finish(remedies, is_fine ? 0 : -EIO, remedies->bytes);
}

static void failover_built_in(struct remedies *remedies)
{
    bool standby = !supervisor_on_standby(remedies->options.supervisor);
    /* The service reads its incarnation when it switches, so this must come first. Until then it counts by
     * the old one and feels what it felt. */
    renew_storage(remedies);
    crash_here(CRASH_MID_EFFECT);
    int error = client_send(remedies->admin, "POST",
                            standby ? "/admin/storage?folder=standby" : "/admin/storage?folder=primary", NULL,
                            NULL, 0, failover_limit_ns, on_failover, remedies);
    if (error < 0)
        remedy_finish(remedies, error, "the service could not be asked");
}

static void on_moved(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    remedy_finish_told(remedies, remedies->result ? remedies->result : result, detail);
}

static void start_moved(struct remedies *remedies)
{
    int error = supervisor_restart(remedies->options.supervisor, remedies->command, on_moved, remedies);
    if (error < 0)
        remedy_finish_told(remedies, error, "the service could not be started");
}

static void on_copied(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    remedies->result = result;
    if (result < 0) {
        text_addf(&remedies->detail, "the data was not copied: %s; started again where it was", detail);
    } else if ((remedies->result = switch_folders(remedies)) == 0) {
        renew_storage(remedies);
    }
    start_moved(remedies);
}

static const char *folder_of(const struct remedies *remedies, bool standby)
{
    return standby ? remedies->options.standby_folder : remedies->options.data_folder;
}

static void on_stopped(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    bool standby = supervisor_on_standby(remedies->options.supervisor);
    if (result < 0) {
        remedy_finish_told(remedies, result, detail);
        return;
    }
    int error = folder_copy_start(remedies->copy, folder_of(remedies, standby), folder_of(remedies, !standby),
                                  on_copied, remedies);
    if (error < 0)
        on_copied(remedies, error, strerror(-error));
}

static void failover_own(struct remedies *remedies)
{
    bool standby = supervisor_on_standby(remedies->options.supervisor);
    uint64_t bytes = folder_use_bytes(&(struct folder_use){.folders = {folder_of(remedies, standby)}});
    if (bytes > remedies->options.quota_bytes / 2) {
        text_addf(&remedies->detail,
                  "nothing changed: a copy of %" PRIu64 " bytes does not fit into the node's %" PRIu64, bytes,
                  remedies->options.quota_bytes);
        remedy_finish(remedies, -EFBIG, remedies->bytes);
        return;
    }
    int error = supervisor_stop(remedies->options.supervisor, on_stopped, remedies);
    if (error < 0)
        remedy_finish(remedies, error, "the service could not be stopped just now");
}

void remedy_failover_storage(struct remedies *remedies)
{
    if (remedies->options.built_in)
        failover_built_in(remedies);
    else
        failover_own(remedies);
}

/* --- clean_disk ----------------------------------------------------------------------------------------- */

void remedy_clean_disk(struct remedies *remedies)
{
    struct swept swept = {0};
    int error = sweep_folder(remedies->options.scratch_folder, &swept);
    crash_here(CRASH_MID_EFFECT);
    if (remedies->options.cleaned)
        remedies->options.cleaned(remedies->options.context);
    if (swept.files + swept.folders == 0)
        remedy_tell(remedies, "nothing changed: the scratch folder was empty");
    else
        text_addf(&remedies->detail, "%zu file%s with %" PRIu64 " bytes removed from the scratch folder",
                  swept.files, swept.files == 1 ? "" : "s", swept.bytes);
    remedy_finish_told(remedies, error,
                       error == -E2BIG ? "more is left: do it again"
                       : error         ? strerror(-error)
                                       : NULL);
}
