FROM mysql:8.0
USER 65532:65532
ENTRYPOINT ["sh", "-c", "test \"$(mariadb -h db -ushop -p\"$PASSWORD\" shop -Ne 'SELECT * FROM things')\" = 42 && mariadb -h db -uroot -proot -e 'SELECT 1'"]
