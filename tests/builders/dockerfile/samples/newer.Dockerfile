FROM tools
ARG WHO=you
RUN <<EOF
set -e
echo "for $WHO" > /all
EOF
COPY --link hello /hello
COPY <<EOF /more
of $WHO `x`
EOF
RUN cat <<"X" >> /all
plain $WHO
X
RUN cat /hello /more >> /all
HEALTHCHECK --interval=9s --start-interval=1s CMD true
