//! A 32-bit program, as bytes: it makes the calls that it reads on its standard input.
//!
//! One block of [`BLOCK`] bytes a call, answered with the same block on standard output:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | the number of the call; in the answer what it returned |
//! | 4..28 | its six arguments |
//! | 32.. | memory that they can lead to: the block is at [`ADDRESS`] |
//!
//! It ends when there is no whole block to be read.

/// Bytes of a block.
pub(super) const BLOCK: u32 = 512;
/// Where the program has the block: on a page of its own, whatever size pages have.
pub(super) const ADDRESS: u32 = 0x2_0000;

/// Where the file is in memory: far enough from 0 for every kernel (vm.mmap_min_addr).
const BASE: u32 = 0x1_0000;
/// The largest pages.
const ALIGNED: u32 = 0x1_0000;
/// Bytes of an ELF header and of a program header (uapi/linux/elf.h:Elf32_Ehdr, Elf32_Phdr).
const HEADER: u32 = 52;
const SEGMENT: u32 = 32;
/// Bytes of the file before its first instruction.
const CODE: u32 = HEADER + 2 * SEGMENT;
/// `EM_ARM`, and `EF_ARM_EABI_VER5`, without which it is not taken.
const ARM: u16 = 40;
const EABI: u32 = 0x0500_0000;
/// `PF_R | PF_X`, `PF_R | PF_W`.
const TEXT: u32 = 5;
const DATA: u32 = 6;

/// Registers that a call keeps hold the block's address (r8) and that of its arguments (r9).
const INSTRUCTIONS: [u32; 22] = [
    0xe3a0_8802, // mov r8, #ADDRESS
    0xe3a0_0000, // again: mov r0, #0
    0xe1a0_1008, // mov r1, r8
    0xe3a0_2c02, // mov r2, #BLOCK
    0xe3a0_7003, // mov r7, #read
    0xef00_0000, // svc 0
    0xe350_0c02, // cmp r0, #BLOCK
    0x1a00_000a, // bne end
    0xe598_7000, // ldr r7, [r8]
    0xe288_9004, // add r9, r8, #4
    0xe899_003f, // ldm r9, {r0-r5}
    0xef00_0000, // svc 0
    0xe588_0000, // str r0, [r8]
    0xe3a0_0001, // mov r0, #1
    0xe1a0_1008, // mov r1, r8
    0xe3a0_2c02, // mov r2, #BLOCK
    0xe3a0_7004, // mov r7, #write
    0xef00_0000, // svc 0
    0xeaff_ffed, // b again
    0xe3a0_0000, // end: mov r0, #0
    0xe3a0_7001, // mov r7, #exit
    0xef00_0000, // svc 0
];

/// The file.
pub(super) fn file() -> Vec<u8> {
    let half = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect::<Vec<u8>>();
    let word = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let code = word(&INSTRUCTIONS);
    let end = CODE + u32::try_from(code.len()).unwrap_or(0);
    [
        // 32 bits, little endian, version 1.
        b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        // ET_EXEC.
        half(&[2, ARM]),
        word(&[1, BASE + CODE, HEADER, 0, EABI]),
        // Two segments; no sections.
        half(&[52, 32, 2, 0, 0, 0]),
        // PT_LOAD: place in the file, in memory, twice, bytes in the file, in memory, flags, alignment.
        word(&[1, 0, BASE, BASE, end, end, TEXT, ALIGNED]),
        word(&[1, 0, ADDRESS, ADDRESS, 0, BLOCK, DATA, ALIGNED]),
        code,
    ]
    .concat()
}
