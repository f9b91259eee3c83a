#include "wire/json_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool fail(struct json_scan *scan)
{
    scan->failed = true;
    return false;
}

static void skip_blanks(struct json_scan *scan)
{
    while (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r')
        scan->at++;
}

bool json_scan_is(const struct json_piece *piece, const char *literal, size_t length)
{
    return piece->length == length && memcmp(piece->bytes, literal, length) == 0;
}

bool json_scan_maybe(struct json_scan *scan, char c)
{
    if (scan->failed || *scan->at != c)
        return false;
    scan->at++;
    skip_blanks(scan);
    return true;
}

void json_scan_must(struct json_scan *scan, char c)
{
    if (!json_scan_maybe(scan, c))
        fail(scan);
}

struct json_piece json_scan_string(struct json_scan *scan)
{
    if (scan->failed || *scan->at != '"') {
        fail(scan);
        return (struct json_piece){"", 0};
    }
    const char *from = ++scan->at;
    while ((signed char)*scan->at >= ' ' && *scan->at != '"' && *scan->at != '\\')
        scan->at++;
    struct json_piece piece = {from, (size_t)(scan->at - from)};
    json_scan_must(scan, '"');
    return piece;
}

bool json_scan_next(struct json_scan *scan, char closing, size_t *count)
{
    if (scan->failed || json_scan_maybe(scan, closing))
        return false;
    if ((*count)++ > 0)
        json_scan_must(scan, ',');
    return !scan->failed;
}

struct json_piece json_scan_name(struct json_scan *scan)
{
    struct json_piece name = json_scan_string(scan);
    json_scan_must(scan, ':');
    return name;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits onto `number`, at most 18 in all so that it cannot overflow. */
static uint64_t scan_digits(struct json_scan *scan, uint64_t number, int *digits)
{
    const char *from = scan->at;
    for (; is_digit(*scan->at); scan->at++) {
        if (++*digits > 18) {
            fail(scan);
            return 0;
        }
        number = number * 10 + (uint64_t)(*scan->at - '0');
    }
    if (scan->at == from)
        fail(scan);
    return number;
}

static uint64_t scan_whole(struct json_scan *scan, int *digits)
{
    bool zero = *scan->at == '0';
    uint64_t number = scan->failed ? 0 : scan_digits(scan, 0, digits);
    if (zero && *digits > 1) /* 007 is no JSON */
        fail(scan);
    return number;
}

uint64_t json_scan_integer(struct json_scan *scan)
{
    int digits = 0;
    uint64_t number = scan_whole(scan, &digits);
    if (*scan->at == '.' || *scan->at == 'e' || *scan->at == 'E')
        fail(scan);
    skip_blanks(scan);
    return scan->failed ? 0 : number;
}

static double slow_number(struct json_scan *scan, const char *from)
{
    char *end;
    double number = strtod(from, &end);
    if (end != scan->at || !isfinite(number))
        fail(scan);
    return number;
}

/* With a mantissa below 2^53 and a power of ten up to 22 both are exact doubles, and one division rounds as
 * the standard wants it (Clinger 1990). */
static double divide(struct json_scan *scan, const char *from, uint64_t mantissa, int places)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    return mantissa < UINT64_C(1) << 53 ? (double)mantissa / powers[places] : slow_number(scan, from);
}

double json_scan_number(struct json_scan *scan)
{
    const char *from = scan->at;
    int digits = 0;
    uint64_t mantissa = scan_whole(scan, &digits);
    int whole = digits;
    double number;
    if (!scan->failed && *scan->at == '.') {
        scan->at++;
        mantissa = scan_digits(scan, mantissa, &digits);
    }
    if (!scan->failed && (*scan->at == 'e' || *scan->at == 'E')) {
        int ignored = 0;
        scan->at++;
        if (*scan->at == '-' || *scan->at == '+')
            scan->at++;
        scan_digits(scan, 0, &ignored);
        number = scan->failed ? 0 : slow_number(scan, from);
    } else {
        number = scan->failed     ? 0
                 : digits > whole ? divide(scan, from, mantissa, digits - whole)
                                  : (double)mantissa;
    }
    skip_blanks(scan);
    return scan->failed ? 0 : number;
}

bool json_scan_end(struct json_scan *scan, const char *end)
{
    return !scan->failed && scan->at == end;
}
