# Installed.
cc hello.c -o hello $(pkg-config --cflags --libs memorybucket)

# The static library; liburcu stays a shared one.
cc hello.c -o hello_static $(pkg-config --cflags memorybucket) \
    "$(pkg-config --variable=libdir memorybucket)/libmemorybucket.a" $(pkg-config --libs liburcu-bp) -pthread

# All of it static.
cc -static hello.c -o hello_all_static $(pkg-config --static --cflags --libs memorybucket)
