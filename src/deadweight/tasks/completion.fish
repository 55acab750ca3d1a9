function __deadweight
    set -l token (commandline -ct)
    set -l found ($argv[1] completion --words (commandline -cp | string collect) 2>/dev/null)
    if test -n "$found"
        string match -q -- '--*=*' $token; and set found (string replace -r '=.*' '=' -- $token)$found
    else
        set -l starts '^'(string escape --style=regex -- $token)
        set found ($argv[1] --complete -- (commandline -opc; commandline -ct) 2>/dev/null | string match -r -e -- $starts)
    end
    test -n "$found"; or set found (__fish_complete_path $token)
    printf '%s\n' $found
end
for each in invoke inv deadweight
    complete -c $each -f -a "(__deadweight $each)"
end
