FROM nginxinc/nginx-unprivileged:1.27-alpine
COPY --chown=nginx:nginx site /usr/share/nginx/html
