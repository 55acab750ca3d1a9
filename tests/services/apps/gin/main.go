package main

import (
	"embed"
	"html/template"
	"log"
	"os"

	"github.com/gin-gonic/gin"
)

//go:embed pages/*.html
var pages embed.FS

func main() {
	if _, err := os.ReadFile("config/limits.yaml"); err != nil {
		log.Fatal(err)
	}
	server := gin.Default()
	server.SetHTMLTemplate(template.Must(template.ParseFS(pages, "pages/*.html")))
	server.GET("/", func(c *gin.Context) { c.HTML(200, "index.html", nil) })
	server.GET("/ping", func(c *gin.Context) { c.JSON(200, gin.H{"message": "pong"}) })
	log.Fatal(server.Run(":" + os.Getenv("PORT")))
}
