FROM php:8.3-fpm-alpine
RUN apk add --no-cache curl icu-dev && docker-php-ext-install intl opcache
COPY php/ /var/www/html/
USER www-data
