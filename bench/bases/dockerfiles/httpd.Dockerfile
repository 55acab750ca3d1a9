FROM httpd:2.4-alpine
RUN sed -i 's/^Listen 80$/Listen 8080/' /usr/local/apache2/conf/httpd.conf
COPY site/ /usr/local/apache2/htdocs/
USER www-data
