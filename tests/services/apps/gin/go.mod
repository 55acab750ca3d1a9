module example.com/pages

go 1.25.0

require github.com/gin-gonic/gin v1.12.0
