// node write.js IMAGE DEVICE: writes and verifies with etcher-sdk, direct I/O, as Etcher does.
'use strict';
const { execFileSync } = require('child_process');
const Module = require('module');

// Modules that look for drives, USB boot and LZMA: native, not needed to write one named device.
const ABSENT = /^(drivelist|mountutils|lzma-native|usb|node-raspberrypi-usbboot|winusb-driver-generator|@balena\/node-beaglebone-usbboot)$/;
const load = Module._load;
Module._load = function (name, ...rest) {
	if (!ABSENT.test(name)) return load.call(this, name, ...rest);
	try {
		return load.call(this, name, ...rest);
	} catch {
		return { list: async () => [], unmountDisk: (_device, ...more) => more.pop()(), EventEmitter: require('events') };
	}
};
const { sourceDestination: { File, BlockDevice }, multiWrite } = require('etcher-sdk');

async function main([path, device]) {
	let source = new File({ path });
	if (/\.(gz|xz|zst)$/.test(path)) source = await source.getInnerSource();
	const size = Number(execFileSync('blockdev', ['--getsize64', device]));
	const drive = {
		device, raw: device, devicePath: device, size, description: device, displayName: device,
		mountpoints: [], blockSize: 512, logicalBlockSize: 512, enumerator: 'bench', busType: 'USB',
		isSystem: false, isReadOnly: false, isVirtual: false, isRemovable: true, partitionTableType: null,
	};
	const destination = new BlockDevice({ drive, write: true, direct: true, unmountOnSuccess: false });
	const failed = [];
	const result = await multiWrite.pipeSourceToDestinations({
		source, destinations: [destination], verify: true, numBuffers: 16,
		onFail: (_destination, error) => failed.push(error.message), onProgress: () => {},
	});
	if (failed.length || result.failures.size) throw new Error(failed.join('; ') || 'a device failed');
	console.log(JSON.stringify({ bytes: result.bytesWritten }));
}

main(process.argv.slice(2)).then(() => process.exit(0), (error) => {
	console.error(error.message);
	process.exit(1);
});
