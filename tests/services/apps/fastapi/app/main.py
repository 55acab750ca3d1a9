from fastapi import FastAPI

app = FastAPI(title="Prices")


@app.get("/prices")
def prices() -> dict[str, int]:
    return {"tea": 3}
