FROM php:8-cli
WORKDIR /app
COPY php .
USER www-data
CMD ["php", "-S", "0.0.0.0:8080", "index.php"]
