/* Lua on MemoryBucket. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <memorybucket/memorybucket.h>
#include <stdio.h>

static void *allocate(void *unused, void *object, size_t old_size, size_t size)
{
    (void)unused;
    if (size == 0) {
        mb_free_sized(object, old_size); /* without an object, old_size is a type: mb_free_sized ignores it */
        return NULL;
    }
    return mb_realloc(object, size);
}

static lua_State *new_state(void)
{
    return lua_newstate(allocate, NULL);
}

int main(void)
{
    lua_State *state = new_state();
    if (state == NULL) {
        fputs("there is no memory\n", stderr);
        return 1;
    }
    luaL_openlibs(state);
    static const char program[] = "local words = {}\n"
                                  "for i = 1, 1000 do words[#words + 1] = 'word ' .. i end\n"
                                  "return #table.concat(words)\n";
    if (luaL_dostring(state, program) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(state, -1));
        return 1;
    }
    printf("%lld characters\n", lua_tointeger(state, -1));
    lua_close(state);
    return 0;
}
