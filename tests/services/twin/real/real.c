/* What a program asks of libraries that it does not hold itself: the user's name, a library by name, a picture, the locale. */
#include <dlfcn.h>
#include <langinfo.h>
#include <locale.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    if (!strcmp(what, "user")) {
        struct passwd *user = getpwuid(getuid());
        puts(user ? user->pw_name : "unknown user");
        return !user;
    }
    if (!strcmp(what, "load") && count > 2) {
        void *library = dlopen(words[2], RTLD_NOW);
        puts(library ? "loaded" : dlerror());
        return !library;
    }
    if (!strcmp(what, "picture")) {
        unsigned char pixels[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9}, *packed = 0;
        void *codec = dlopen("libwebp.so.7", RTLD_NOW);
        size_t (*encode)(const unsigned char *, int, int, int, unsigned char **) =
            codec ? dlsym(codec, "WebPEncodeLosslessRGB") : 0;
        if (!encode) {
            puts(dlerror());
            return 1;
        }
        size_t size = encode(pixels, 2, 2, 6, &packed);
        return fwrite(packed, 1, size, stdout) == 0;
    }
    wchar_t wide[8];
    setlocale(LC_ALL, "");
    printf("%s %d\n", nl_langinfo(CODESET), (int)mbstowcs(wide, "\xc3\x84", 8));
    return 0;
}
