/* CHECK: an invariant of our own that must hold, in release builds too. A failed check means *we* are wrong:
 * it says where on stderr and aborts. Bad input from outside is never a CHECK; it gets an error of its own.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression) ((expression) ? (void)0 : check_failed(#expression, __FILE__, __LINE__))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
