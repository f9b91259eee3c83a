/* Where the lab listens that is up in this folder: `up` writes it down in lab/address, so that in another
 * terminal nobody has to copy a port. */
#ifndef CLI_ADDRESS_H
#define CLI_ADDRESS_H

#include <stdbool.h>

/* "http://127.0.0.1:" and a port. */
enum { ADDRESS_SIZE = 32 };

/* False if it cannot be written; the lab then has to be named. */
bool address_write(int port);

/* Removes what address_write() wrote, unless another lab has written there since. */
void address_forget(int port);

/* True if one is written down and somebody listens there: a lab that was killed leaves its address behind. */
bool address_find(char out[ADDRESS_SIZE]);

#endif
