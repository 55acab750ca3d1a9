/* What a program asks of a C library that it does not hold itself: the user's name, a library by name, the locale. */
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
    wchar_t wide[8];
    setlocale(LC_ALL, "");
    printf("%s %d\n", nl_langinfo(CODESET), (int)mbstowcs(wide, "\xc3\x84", 8));
    return 0;
}
