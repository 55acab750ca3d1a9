import MySQLdb
import psycopg2
from flask import Flask

app = Flask(__name__)


@app.get("/healthz")
def health() -> str:
    return f"{MySQLdb.get_client_info()} {psycopg2.__version__}"
