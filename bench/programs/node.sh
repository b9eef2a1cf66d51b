# node: objects and JSON, which V8's own heap holds, and buffers, compression, hashes and an HTTP server with
# its client, which malloc serves.
perform() {
    measured node - $((5 * scale)) <<'JS'
const http = require('http'), zlib = require('zlib'), crypto = require('crypto');
const rounds = Number(process.argv[2]);
let sum = 0;
for (let round = 0; round < rounds; round++) {
    const map = new Map();
    for (let i = 0; i < 20000; i++) map.set('k' + i, { i, text: 'x'.repeat(i % 50) });
    sum += JSON.stringify([...map.values()]).length;
    const buffers = [];
    for (let i = 0; i < 4000; i++) {
        buffers[i % 500] = Buffer.allocUnsafeSlow(64 + (i * 7919) % 8000).fill(i % 251);
        if (i % 8 === 0) sum += crypto.createHash('sha256').update(buffers[i % 500]).digest()[0];
    }
    sum += zlib.inflateSync(zlib.deflateSync(Buffer.concat(buffers), { level: 1 })).length;
}
const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', part => parts.push(part)).on('end', () => response.end(Buffer.concat(parts).reverse()));
});
server.listen(0, '127.0.0.1', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const post = size => new Promise((resolve, reject) => {
        const { port } = server.address();
        http.request({ port, agent, method: 'POST', host: '127.0.0.1' }, response => {
            let length = 0;
            response.on('data', part => { length += part.length; }).on('end', () => resolve(length));
        }).on('error', reject).end(Buffer.alloc(size, 'ab'));
    });
    for (let i = 0; i < 100 * rounds; i += 8) {
        const lengths = await Promise.all([...Array(8).keys()].map(k => post(100 + (i + k) * 37 % 9000)));
        for (const length of lengths) sum += length;
    }
    console.log(sum);
    process.exit(0);
});
JS
}
