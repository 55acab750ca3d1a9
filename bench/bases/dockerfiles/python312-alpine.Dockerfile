FROM docker.io/library/python:3.12-alpine3.20
RUN apk add --no-cache gcc musl-dev libffi-dev
WORKDIR /app
COPY python/requirements.txt .
RUN pip install --no-cache-dir --prefer-binary -r requirements.txt
COPY python .
RUN addgroup -S app && adduser -S app -G app
USER app
CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8080"]
