/* The copy of a data folder, for a program of one's own that goes on in another one: made by cp(1) in a
 * process of its own, so that nothing waits for a disk that is sick. */
#ifndef AGENT_FOLDER_COPY_H
#define AGENT_FOLDER_COPY_H

struct event_base;
struct folder_copy;

/* 0 or a negative errno. `detail` is a sentence for people, valid during the call. */
typedef void folder_copy_done(void *context, int result, const char *detail);

/* `log_path`: where cp complains, appended; it must outlive the copy. NULL if out of memory. */
struct folder_copy *folder_copy_new(struct event_base *base, const char *log_path);
void folder_copy_free(struct folder_copy **copy); /* ends the one under way; `done` is not called */

/* Empties `to` and copies what is in `from`, links as links. Tells its end through `done`, -ETIMEDOUT if it
 * took longer than 10 s. Returns a negative errno if it cannot begin; `done` is not called then. */
int folder_copy_start(struct folder_copy *copy, const char *from, const char *to, folder_copy_done *done,
                      void *context);

#endif
