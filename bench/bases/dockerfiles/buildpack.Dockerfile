FROM buildpack-deps:bookworm AS build
RUN printf '#include <openssl/opensslv.h>\n#include <libpq-fe.h>\n#include <stdio.h>\nint main(void) { printf("%%d %%s\\n", PQlibVersion(), OPENSSL_VERSION_TEXT); return 0; }\n' > a.c && gcc -I/usr/include/postgresql a.c -o /a -lpq && /a
FROM httpd:2.4
RUN sed -i 's/^Listen 80$/Listen 8080/' /usr/local/apache2/conf/httpd.conf
COPY site/ /usr/local/apache2/htdocs/
COPY --from=build /a /usr/local/bin/a
USER www-data
