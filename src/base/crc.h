/* CRC-32 of ISO 3309, as zlib and PNG have it (polynomial 0xEDB88320, reflected): notices torn and flipped
 * bytes in files of ours. It is no protection against somebody who means it. */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, 0 at the beginning: crc32_add(crc32_add(0, a), b) is that of a and b in one. */
uint32_t crc32_add(uint32_t crc, const void *bytes, size_t length);

#endif
