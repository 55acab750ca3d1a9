import os

import redis
from flask import Flask

app = Flask(__name__)
store = redis.Redis.from_url(os.environ["REDIS_URL"])
store.ping()


@app.get("/health")
def health() -> str:
    return str(store.ping())
