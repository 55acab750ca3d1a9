# A secret is written by one instruction and removed by another. The last layer holds only a whiteout, the second one the secret.
# The password is made up. Four layers, the base's included.
ARG BASE=alpine:3.18

FROM ${BASE}
RUN echo "db_password = kT9vQ2mX7pL4wZ8rNc3B" > /etc/secret.txt
RUN wc -c < /etc/secret.txt > /etc/secret-length.txt
RUN rm /etc/secret.txt
USER 65532:65532
CMD ["cat", "/etc/secret-length.txt"]
