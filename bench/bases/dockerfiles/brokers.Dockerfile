FROM python:3.12-slim
COPY brokers/ask.py /ask.py
CMD ["python", "/ask.py"]
