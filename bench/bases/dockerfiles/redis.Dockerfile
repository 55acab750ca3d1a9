FROM redis:7-alpine
