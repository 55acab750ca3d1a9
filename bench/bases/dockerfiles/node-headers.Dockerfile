FROM node:22
WORKDIR /app
RUN npm install --build-from-source better-sqlite3@12
COPY nodenative/index.js .
USER node
CMD ["node", "index.js"]
