FROM python:3.12-slim
RUN pip install pymongo
USER 65532:65532
COPY mongo/things.py /
ENTRYPOINT ["python3", "/things.py"]
