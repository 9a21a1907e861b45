/* Goes before OpenSSL in a token's process (LD_PRELOAD), and holds AES-KW in the middle of its work.
 *
 * While there is a file AES_KW_HOLD, whoever wraps or unwraps with AES-KW adds its process id to it and stays where both
 * keys are in clear in its memory, until the file is gone; a minute at the most. SoftHSM2 calls EVP_CipherFinal_ex for
 * AES-KW alone, and OpenSSL's own work for SoftHSM2 does not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*Final)(void *, unsigned char *, int *);

int EVP_CipherFinal_ex(void *context, unsigned char *out, int *size) {
    Final real = (Final)dlsym(RTLD_NEXT, "EVP_CipherFinal_ex");
    int done = real(context, out, size);
    int file = open(getenv("AES_KW_HOLD"), O_WRONLY | O_APPEND);
    if (file >= 0) {
        dprintf(file, "%d\n", getpid());
        close(file);
        for (int looks = 0; looks < 6000 && access(getenv("AES_KW_HOLD"), F_OK) == 0; looks++) usleep(10000);
    }
    return done;
}
