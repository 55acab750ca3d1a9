_deadweight() {
    local -a found
    found=(${(f)"$("$words[1]" completion --words "${(j: :)words[1,CURRENT]}" 2>/dev/null)"})
    (( $#found )) || found=(${(M)${(f)"$("$words[1]" --complete -- $words 2>/dev/null)"}:#${words[CURRENT]}*})
    compset -P '--*='
    if (( $#found )); then compadd -a found; else _files; fi
}
compdef _deadweight invoke inv deadweight
