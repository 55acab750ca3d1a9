CREATE TABLE things (number INT); INSERT INTO things VALUES (42);
