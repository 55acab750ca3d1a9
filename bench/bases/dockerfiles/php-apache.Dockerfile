FROM php:8.2-apache
RUN apt-get update && apt-get install -y --no-install-recommends libpq-dev unzip && rm -rf /var/lib/apt/lists/* \
 && docker-php-ext-configure gd --with-jpeg && docker-php-ext-install -j"$(nproc)" pdo_mysql mysqli gd && pecl install redis-6.0.2 && docker-php-ext-enable redis && a2enmod rewrite
RUN mv "$PHP_INI_DIR/php.ini-production" "$PHP_INI_DIR/php.ini" && sed -i 's/Listen 80/Listen 8080/' /etc/apache2/ports.conf && sed -i 's/:80/:8080/' /etc/apache2/sites-available/000-default.conf && php -m | grep -q pdo_mysql
COPY --chown=www-data:www-data php/ /var/www/html/
USER www-data
EXPOSE 8080
