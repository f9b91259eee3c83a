#include "base/crc.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

/* Eight bytes at a time ("slicing by 8", Kounavis and Berry 2005): table[k][b] is byte b with k more behind
 * it. */
static uint32_t table[8][256];
static pthread_once_t filled = PTHREAD_ONCE_INIT;

static void fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++)
            rest = rest & 1 ? rest >> 1 ^ 0xEDB88320u : rest >> 1;
        table[0][byte] = rest;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            table[k][byte] = table[0][table[k - 1][byte] & 0xff] ^ table[k - 1][byte] >> 8;
}

uint32_t crc32_add(uint32_t crc, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    pthread_once(&filled, fill);
    crc = ~crc;
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = le64toh(word) ^ crc;
        crc = table[7][word & 0xff] ^ table[6][word >> 8 & 0xff] ^ table[5][word >> 16 & 0xff] ^
              table[4][word >> 24 & 0xff] ^ table[3][word >> 32 & 0xff] ^ table[2][word >> 40 & 0xff] ^
              table[1][word >> 48 & 0xff] ^ table[0][word >> 56];
    }
    for (; length > 0; at++, length--)
        crc = table[0][(crc ^ *at) & 0xff] ^ crc >> 8;
    return ~crc;
}
