/* A PKCS#11 module in front of a real one, which fails as its rules say.
 *
 * SHIM_MODULE names the real module, SHIM_RULES a file of lines "FUNCTION WHEN RV TIMES", read at each call:
 *   before: RV is returned and the real function is not called; after: it is called, and RV returned all the same;
 *   hang: it is called when there is no file SHIM_RULES.hang any more, after a minute at the latest.
 *   RV is hexadecimal, TIMES five digits, counted down in the file. SHIM_CALLS names a file to which the name of each
 *   function called is appended.
 *
 * Every argument of PKCS#11 is a machine word, so each function is passed on as eight words, whatever it takes.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long W;
typedef W (*Function)(W, W, W, W, W, W, W, W);
struct list { unsigned char version[2]; Function call[67]; };

static struct list *real, mine;

static void record(const char *name) {
    const char *path = getenv("SHIM_CALLS");
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (file < 0) return;
    dprintf(file, "%s\n", name);
    close(file);
}

static void hang(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s.hang", getenv("SHIM_RULES"));
    for (int looks = 0; looks < 6000 && access(path, F_OK) == 0; looks++) usleep(10000);
}

/* Find a rule that is not used up, count it down, and say what it does: 1 before, 2 after, 3 hang, 0 nothing. */
static int rule(const char *name, W *rv) {
    char line[256], function[64], when[16];
    const char *path = getenv("SHIM_RULES");
    FILE *file = path ? fopen(path, "r+") : NULL;
    int found = 0;
    while (file && !found) {
        long start = ftell(file);
        unsigned times;
        int digits;
        if (!fgets(line, sizeof line, file)) break;
        if (sscanf(line, "%63s %15s %lx %n%5u", function, when, rv, &digits, &times) != 4) continue;
        if (times == 0 || strcmp(function, name)) continue;
        found = !strcmp(when, "before") ? 1 : !strcmp(when, "after") ? 2 : 3;
        fseek(file, start + digits, SEEK_SET);
        fprintf(file, "%05u", times - 1);
    }
    if (file) fclose(file);
    return found;
}

static W pass(int place, const char *name, W a, W b, W c, W d, W e, W f, W g, W h) {
    W rv = 0, real_rv;
    record(name);
    int kind = rule(name, &rv);
    if (kind == 1) return rv;
    if (kind == 3) hang();
    real_rv = real->call[place](a, b, c, d, e, f, g, h);
    return kind == 2 ? rv : real_rv;
}

#define SHIM(PLACE, NAME) \
    static W NAME(W a, W b, W c, W d, W e, W f, W g, W h) { return pass(PLACE, #NAME, a, b, c, d, e, f, g, h); }
#define EACH(X) X(0, C_Initialize) X(1, C_Finalize) X(4, C_GetSlotList) X(6, C_GetTokenInfo) X(12, C_OpenSession) \
    X(13, C_CloseSession) X(15, C_GetSessionInfo) X(18, C_Login) X(19, C_Logout) X(20, C_CreateObject) \
    X(21, C_CopyObject) X(22, C_DestroyObject) X(24, C_GetAttributeValue) X(25, C_SetAttributeValue) \
    X(26, C_FindObjectsInit) X(27, C_FindObjects) X(29, C_EncryptInit) X(30, C_Encrypt) X(33, C_DecryptInit) \
    X(34, C_Decrypt) X(58, C_GenerateKey) X(59, C_GenerateKeyPair) X(60, C_WrapKey) X(61, C_UnwrapKey) \
    X(64, C_GenerateRandom)
EACH(SHIM)

W C_GetFunctionList(struct list **out) {
    if (!real) {
        void *library = dlopen(getenv("SHIM_MODULE"), RTLD_NOW);
        W (*get)(struct list **) = library ? (W (*)(struct list **))dlsym(library, "C_GetFunctionList") : NULL;
        if (!get || get(&real)) return 5;
        mine = *real;
#define PUT(PLACE, NAME) mine.call[PLACE] = NAME;
        EACH(PUT)
    }
    *out = &mine;
    return 0;
}
