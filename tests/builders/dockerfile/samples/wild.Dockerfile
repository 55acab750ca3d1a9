# syntax=docker/dockerfile:1
# escape=`
FROM `
  # a comment
  tools AS first
RUN echo $((1<<2)) > /four # <<<hello
FROM to`
ols AS final
COPY `
  --from=first /four /
