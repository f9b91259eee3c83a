/* docs/openapi.json, put into the binary by the build. */
#ifndef PLANE_OPENAPI_H
#define PLANE_OPENAPI_H

#include <stddef.h>

extern const char openapi_text[];
extern const size_t openapi_length;

#endif
