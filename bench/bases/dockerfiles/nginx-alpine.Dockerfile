FROM node:20-alpine AS build
WORKDIR /app
COPY node/package.json .
RUN npm install --omit=dev
FROM nginx:1.27-alpine
RUN apk add --no-cache curl && rm -rf /usr/share/nginx/html/* && chown -R nginx:nginx /usr/share/nginx/html /var/cache/nginx
COPY site /usr/share/nginx/html
EXPOSE 80
CMD ["nginx", "-g", "daemon off;"]
