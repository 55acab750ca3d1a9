FROM postgres:16-alpine
ENV POSTGRES_PASSWORD=for-a-trial
