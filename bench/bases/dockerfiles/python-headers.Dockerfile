FROM python:3.12
WORKDIR /app
RUN pip install --no-cache-dir --no-binary mysqlclient,psycopg2 flask gunicorn mysqlclient==2.2.7 psycopg2==2.9.10
COPY flask/app.py .
USER 1000
CMD ["gunicorn", "--worker-tmp-dir", "/dev/shm", "-b", "0.0.0.0:8080", "app:app"]
