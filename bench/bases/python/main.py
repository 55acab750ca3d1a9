"""Answers where the modules are all there that a Python may have been built without, time zones, and packages with programs."""

import importlib
from zoneinfo import ZoneInfo

import sqlalchemy
from fastapi import FastAPI

MODULES = (
    "bz2",
    "ctypes",
    "hashlib",
    "lzma",
    "multiprocessing",
    "sqlite3",
    "ssl",
    "uuid",
    "zlib",
    "zoneinfo",
    "uvloop",
)
app = FastAPI()


@app.get("/healthz")
def health() -> int:
    for name in MODULES:
        importlib.import_module(name)
    ZoneInfo("Europe/Rome")
    return sqlalchemy.create_engine("sqlite://").connect().exec_driver_sql("select 1").scalar()
