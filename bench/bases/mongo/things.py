"""A document goes into a MongoDB that asks for a password, and into one that does not."""

import pymongo

for url in ("mongodb://root:secret@db:27017/shop?authSource=admin", "mongodb://open:27017/shop"):
    things = pymongo.MongoClient(url, serverSelectionTimeoutMS=9000).shop.things
    things.create_index("name", unique=True)
    things.insert_one({"name": "tea"})
    if things.count_documents({}) != 1:
        raise SystemExit(f"{url}: not one document")
