set number
set expandtab
set shiftwidth=4
set mouse=
