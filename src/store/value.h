/* A value on its way into a column or out of it, whatever the database. */
#ifndef STORE_VALUE_H
#define STORE_VALUE_H

#include <stddef.h>
#include <stdint.h>

enum value_type { VALUE_NULL, VALUE_INTEGER, VALUE_REAL, VALUE_TEXT };

struct value {
    enum value_type type;
    int64_t integer;
    double real;
    const char *text; /* ends in NUL; belongs to whoever made the value */
    size_t length;    /* of the text */
};

enum { VALUES_MAX = 48 }; /* columns of the widest row */

static inline struct value value_null(void)
{
    return (struct value){.type = VALUE_NULL};
}

static inline struct value value_integer(int64_t integer)
{
    return (struct value){.type = VALUE_INTEGER, .integer = integer};
}

static inline struct value value_real(double real)
{
    return (struct value){.type = VALUE_REAL, .real = real};
}

static inline struct value value_text(const char *text, size_t length)
{
    return (struct value){.type = VALUE_TEXT, .text = text, .length = length};
}

#endif
