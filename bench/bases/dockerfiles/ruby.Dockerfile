FROM ruby:3.3-slim
RUN apt-get update -qq && apt-get install --no-install-recommends -y build-essential
WORKDIR /app
COPY ruby .
RUN bundle install
CMD ["ruby", "app.rb"]
